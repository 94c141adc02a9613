import { signIn } from "../actions";
import { database } from "../database";

// The users are read at each request and not during `next build`.
export const dynamic = "force-dynamic";

export default async function SignIn() {
  const users = await database.user.findMany({ orderBy: { name: "asc" } });
  return (
    <>
      <h1>Sign in</h1>
      <form action={signIn}>
        {users.map(({ id, name }) => (
          <button key={id} type="submit" name="name" value={name}>
            {name}
          </button>
        ))}
      </form>
    </>
  );
}
