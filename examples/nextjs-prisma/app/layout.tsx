import type { Metadata } from "next";
import Link from "next/link";
import type { ReactNode } from "react";
import { signOut } from "./actions";
import { Bell } from "./bell";
import { currentUser } from "./session";
import "./style.css";

export const metadata: Metadata = { title: "Marketplace" };

export default async function Layout({ children }: { children: ReactNode }) {
  const user = await currentUser();
  return (
    <html lang="en">
      <body>
        <header>
          <Link href="/">Marketplace</Link>
          {user && (
            <div>
              {user.name}
              <form action={signOut}>
                <button type="submit">Sign out</button>
              </form>
              <Bell key={user.id} />
            </div>
          )}
        </header>
        <main>{children}</main>
      </body>
    </html>
  );
}
