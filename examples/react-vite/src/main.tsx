import { BellProvider } from "@bellwire/react";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { Bell } from "./bell.tsx";

createRoot(document.getElementById("root") as HTMLElement).render(
  <StrictMode>
    <BellProvider url="/api/notifications">
      <Bell />
    </BellProvider>
  </StrictMode>,
);
