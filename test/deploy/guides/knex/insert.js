import createKnex from "knex";
import settings from "./knexfile.js";

const knex = createKnex(settings);
const [task] = await knex("tasks").insert({ title: "A logo", customer_id: 1 }).returning("id");
await knex("responses").insert({ task_id: task.id, user_id: 2, message: "I can do it" });
await knex.destroy();
