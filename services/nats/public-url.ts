/** A URL as it may be printed and logged. */

/** Without the credentials that it may hold; of several with commas each. */
export const publicUrl = (url: string): string =>
  url
    .split(',')
    .map((one) => {
      const scheme = /^\s*(?:[a-z]+:\/\/)?/.exec(one)?.[0] ?? '';
      return scheme + one.slice(Math.max(scheme.length, one.lastIndexOf('@') + 1));
    })
    .join(',');
