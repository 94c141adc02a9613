import Link from "next/link";
import { createTask } from "./actions";
import { database } from "./database";
import { requireUser } from "./session";

export default async function Tasks() {
  await requireUser();
  const tasks = await database.task.findMany({
    include: { customer: true },
    orderBy: { createdAt: "desc" },
    take: 50,
  });
  return (
    <>
      <h1>Tasks</h1>
      <form action={createTask}>
        <input name="title" placeholder="What is to be done" aria-label="Title" required />
        <input name="price" type="number" min="1" placeholder="Price" aria-label="Price" required />
        <button type="submit">Create</button>
      </form>
      <ul>
        {tasks.map(({ id, title, price, status, customer }) => (
          <li key={id}>
            <Link href={`/tasks/${id}`}>{title}</Link> · {price} · {customer.name} · {status}
          </li>
        ))}
      </ul>
    </>
  );
}
