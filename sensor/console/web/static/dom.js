// Preact with htm: templates whose every value is text, never markup.
export {
  html, render, useState, useEffect, useLayoutEffect, useRef, useMemo, useCallback,
} from "./vendor/htm-preact.js";
