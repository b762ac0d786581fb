/** Where the code of a thread is: beside this file, with its own extension: `.ts` run directly, `.js` when built. */
const extension = import.meta.url.slice(import.meta.url.lastIndexOf('.'));

export const threadUrl = (name: string): URL => new URL(`./${name}${extension}`, import.meta.url);
