export const BELL =
  "M6 9.5a6 6 0 0 1 12 0c0 4.5 1.8 6 2.5 6.8a.4.4 0 0 1-.3.7H3.8a.4.4 0 0 1-.3-.7C4.2 15.5 6 14 6 9.5M10 20.5a2.3 2.3 0 0 0 4 0";
export const CROSS = "M6.5 6.5l11 11M17.5 6.5l-11 11";
export const CHECK = "M5 12.5l4.5 4.5L19 7.5";
export const UNREAD = "M7 12a5 5 0 1 0 10 0a5 5 0 1 0-10 0";
export const ARCHIVE = "M4 5h16v4H4zM5.5 9v10h13V9M10 13h4";
export const MUTE =
  "M4 4l16 16M8.5 5.2A6 6 0 0 1 18 9.5c0 1.7.3 3 .7 4M17 17H3.8c-.4 0-.5-.4-.3-.7C4.2 15.5 6 14 6 9.5c0-.5 0-.9.1-1.3M10 20.5a2.3 2.3 0 0 0 4 0";
