'use strict';

const KINDS = ['doc', 'blog', 'page'];

/**
 * Options of the plugin with their defaults. Throws an Error that names the option and what is expected.
 *
 * - `kinds`: which pages are listed: `doc`, `blog` (posts), `page`. All by default.
 * - `exclude`: paths of pages, or beginnings of paths that end in a slash, that are left out. They begin with a
 *   slash and are relative to the base address of each locale: `/blog/private` is `/fr/blog/private`, too.
 */
function validateOptions({options = {}}) {
  const {id = 'default', kinds = KINDS, exclude = [], ...unknown} = options;
  const [first] = Object.keys(unknown);
  if (first !== undefined) {
    throw new Error(`docusaurus-plugin-lectern has no option "${first}"; it has "kinds" and "exclude".`);
  }
  if (!Array.isArray(kinds) || !kinds.every((kind) => KINDS.includes(kind))) {
    throw new Error(`docusaurus-plugin-lectern: "kinds" must be a list of ${KINDS.join(', ')}.`);
  }
  if (!Array.isArray(exclude) || !exclude.every((one) => typeof one === 'string' && one.startsWith('/'))) {
    throw new Error('docusaurus-plugin-lectern: "exclude" must be a list of paths that begin with a slash.');
  }
  return {id, kinds, exclude};
}

module.exports = {KINDS, validateOptions};
