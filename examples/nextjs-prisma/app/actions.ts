"use server";

// Every function here only writes rows. The rules in `rules/` decide who is told what.

import { revalidatePath } from "next/cache";
import { redirect } from "next/navigation";
import { database } from "./database";
import { endSession, requireUser, startSession } from "./session";

/** A real application asks for a password here. */
export async function signIn(form: FormData): Promise<void> {
  const user = await database.user.findUnique({
    where: { name: text(form, "name"), blocked: false },
  });
  if (!user) redirect("/sign-in");
  await startSession(user.id);
  redirect("/");
}

export async function signOut(): Promise<void> {
  await endSession();
  redirect("/sign-in");
}

export async function createTask(form: FormData): Promise<void> {
  const { id: customerId } = await requireUser();
  const { id } = await database.task.create({
    data: { customerId, title: text(form, "title"), price: Number(text(form, "price")) },
  });
  redirect(`/tasks/${id}`);
}

export async function respond(taskId: string, form: FormData): Promise<void> {
  const { id: authorId } = await requireUser();
  await database.task.findUniqueOrThrow({
    where: { id: taskId, status: "OPEN", customerId: { not: authorId } },
  });
  await database.response.create({ data: { taskId, authorId, text: text(form, "text") } });
  revalidatePath(`/tasks/${taskId}`);
}

export async function accept(responseId: string): Promise<void> {
  const { id: customerId } = await requireUser();
  const { taskId, authorId } = await database.response.findUniqueOrThrow({
    where: { id: responseId },
  });
  await database.$transaction([
    database.task.update({
      where: { id: taskId, customerId, status: "OPEN" },
      data: { status: "IN_PROGRESS", executorId: authorId },
    }),
    database.response.update({ where: { id: responseId }, data: { status: "ACCEPTED" } }),
  ]);
  revalidatePath(`/tasks/${taskId}`);
}

export async function sendMessage(taskId: string, form: FormData): Promise<void> {
  const { id: senderId } = await requireUser();
  await database.message.create({ data: { taskId, senderId, text: text(form, "text") } });
  revalidatePath(`/tasks/${taskId}`);
}

/** The customer's review completes the task. */
export async function complete(taskId: string, form: FormData): Promise<void> {
  const { id: customerId } = await requireUser();
  await database.$transaction(async (transaction) => {
    const { executorId } = await transaction.task.update({
      where: { id: taskId, customerId, status: "IN_PROGRESS" },
      data: { status: "COMPLETED" },
    });
    await transaction.review.create({
      data: {
        taskId,
        authorId: customerId,
        recipientId: executorId as string,
        rating: Number(text(form, "rating")),
        comment: text(form, "comment"),
      },
    });
  });
  revalidatePath(`/tasks/${taskId}`);
}

const text = (form: FormData, name: string): string => String(form.get(name) ?? "").trim();
