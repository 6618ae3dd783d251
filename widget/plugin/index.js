'use strict';

/**
 * Docusaurus plugin: writes `lectern-manifest.json` beside the pages of each locale, after the build.
 * See README.md for its form and its options.
 */

const path = require('node:path');
const {buildManifest, writeManifest} = require('./manifest');
const {validateOptions} = require('./options');

const NAME = 'docusaurus-plugin-lectern';

module.exports = function lectern(context, options) {
  let loaded = {};
  return {
    name: NAME,

    // The content of every other plugin; postBuild is given only that of the plugin itself.
    allContentLoaded({allContent}) {
      loaded = allContent;
    },

    async postBuild({outDir, routesBuildMetadata}) {
      const {manifest, missing} = buildManifest({context, options, loaded, outDir, routesBuildMetadata});
      const file = writeManifest(manifest, outDir);
      const where = path.relative(context.siteDir, file);
      console.log(`[${NAME}] ${manifest.pages.length} pages of locale "${manifest.locale}" are listed in ${where}`);
      for (const permalink of missing) {
        console.warn(`[${NAME}] ${permalink} is left out: the build has no HTML file for it`);
      }
    },
  };
};

module.exports.validateOptions = validateOptions;
