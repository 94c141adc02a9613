export async function up(knex) {
  await knex.schema.createTable("tasks", (table) => {
    table.increments();
    table.text("title").notNullable();
    table.integer("customer_id").notNullable();
  });
  await knex.schema.createTable("responses", (table) => {
    table.increments();
    table.integer("task_id").notNullable().references("tasks.id");
    table.integer("user_id").notNullable();
    table.text("message").notNullable();
  });
}

export async function down(knex) {
  await knex.schema.dropTable("responses");
  await knex.schema.dropTable("tasks");
}
