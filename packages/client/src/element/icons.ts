/** The paths of icons of 24 × 24, drawn in lines. */
export const BELL =
  "M6 9.5a6 6 0 0 1 12 0c0 4.5 1.8 6 2.5 7.5h-17C4.2 15.5 6 14 6 9.5M10 20.5a2.3 2.3 0 0 0 4 0";
export const CROSS = "M6.5 6.5l11 11m0-11l-11 11";
export const CHECK = "M5 12.5l4.5 4.5L19 7.5";
export const CIRCLE = "M7 12a5 5 0 1 0 10 0a5 5 0 1 0-10 0";
export const BOX = "M4 5h16v4H4zm1.5 4v10h13V9M10 13h4";
export const SLASHED_BELL =
  "M4 4l16 16M9 4.5a6 6 0 0 1 9 5q0 2 .7 4M16 17H3.5C4.2 15.5 6 14 6 9.5v-1M10 20.5a2.3 2.3 0 0 0 4 0";
