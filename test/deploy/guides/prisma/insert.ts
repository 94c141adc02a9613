import { PrismaPg } from "@prisma/adapter-pg";
import { PrismaClient } from "./generated/client.ts";

const adapter = new PrismaPg({ connectionString: process.env.DATABASE_URL });
const prisma = new PrismaClient({ adapter });
await prisma.task.create({
  data: {
    title: "A logo",
    customerId: 1,
    responses: { create: { userId: 2, message: "I can do it" } },
  },
});
await prisma.$disconnect();
