// The handbook as a site. SITE_URL is where it is published; docs/ is what `make run` serves as the sample.
module.exports = {
  title: 'Lectern',
  tagline: "Answers readers' questions from a documentation site, with proof",
  url: process.env.SITE_URL || 'https://docs.example.com',
  baseUrl: '/',
  onBrokenLinks: 'throw',
  onBrokenAnchors: 'throw',
  presets: [
    [
      'classic',
      {
        docs: {path: '../docs', routeBasePath: 'docs', exclude: ['**/*.json']},
        blog: false,
      },
    ],
  ],
  // Writes lectern-manifest.json beside the pages: what ingestion reads to know what changed.
  plugins: [require.resolve('../widget/plugin')],
  themeConfig: {
    navbar: {
      title: 'Lectern',
      items: [{type: 'doc', docId: 'index', label: 'Handbook', position: 'left'}],
    },
  },
};
