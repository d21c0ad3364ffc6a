/** The page. */
export function livePage(): { html: string; policy: string } {
  return { html: "", policy: "" };
}
