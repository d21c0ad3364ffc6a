import "@xterm/xterm/css/xterm.css";

export const metadata = { title: "Dashboard", icons: "data:," };

export default function Layout({ children }) {
  return (
    <html lang="en">
      <body>{children}</body>
    </html>
  );
}
