import { notFound } from "next/navigation";
import { accept, complete, respond, sendMessage } from "../../actions";
import { database } from "../../database";
import { requireUser } from "../../session";

export default async function Task({ params }: { params: Promise<{ id: string }> }) {
  const user = await requireUser();
  const task = await database.task.findUnique({
    where: { id: (await params).id },
    include: {
      customer: true,
      executor: true,
      review: true,
      responses: { include: { author: true }, orderBy: { createdAt: "asc" } },
      messages: { include: { sender: true }, orderBy: { createdAt: "asc" } },
    },
  });
  if (!task) notFound();
  const isCustomer = task.customerId === user.id;
  return (
    <>
      <h1>{task.title}</h1>
      <p>
        {task.price} · {task.status} · customer {task.customer.name}
        {task.executor && ` · executor ${task.executor.name}`}
      </p>

      <h2>Responses</h2>
      <ul>
        {task.responses.map(({ id, author, text, status }) => (
          <li key={id}>
            {author.name}: {text} ({status})
            {isCustomer && task.status === "OPEN" && (
              <form action={accept.bind(null, id)}>
                <button type="submit">Accept</button>
              </form>
            )}
          </li>
        ))}
      </ul>
      {!isCustomer && task.status === "OPEN" && (
        <form action={respond.bind(null, task.id)}>
          <input name="text" placeholder="Your offer" aria-label="Response" required />
          <button type="submit">Respond</button>
        </form>
      )}

      <h2>Messages</h2>
      <ul>
        {task.messages.map(({ id, sender, text }) => (
          <li key={id}>
            {sender.name}: {text}
          </li>
        ))}
      </ul>
      <form action={sendMessage.bind(null, task.id)}>
        <input name="text" placeholder="Message" aria-label="Message" required />
        <button type="submit">Send</button>
      </form>

      {isCustomer && task.status === "IN_PROGRESS" && (
        <form action={complete.bind(null, task.id)}>
          <input name="rating" type="number" min="1" max="5" aria-label="Rating" required />
          <input name="comment" placeholder="Review" aria-label="Review" />
          <button type="submit">Complete</button>
        </form>
      )}
      {task.review && (
        <p>
          Review: {task.review.rating} of 5. {task.review.comment}
        </p>
      )}
    </>
  );
}
