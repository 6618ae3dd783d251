// The site of tests/e2e/test_docusaurus.py: everything that makes addresses and anchors hard to guess.
module.exports = {
  title: 'Acme',
  tagline: 'Tools for orchards',
  url: 'https://acme.example',
  baseUrl: '/',
  onBrokenLinks: 'throw',
  i18n: {defaultLocale: 'en', locales: ['en', 'fr']},
  presets: [
    [
      'classic',
      {
        docs: {
          sidebarPath: './sidebars.js',
          lastVersion: '2.0',
          versions: {current: {label: 'Next', path: 'next'}},
        },
        blog: {onInlineAuthors: 'ignore', onUntruncatedBlogPosts: 'ignore'},
      },
    ],
  ],
  plugins: [
    ['@docusaurus/plugin-content-docs', {id: 'api', path: 'api', routeBasePath: 'api', sidebarPath: false}],
    [process.env.LECTERN_PLUGIN, {exclude: ['/blog/private']}],
  ],
  themeConfig: {
    navbar: {title: 'Acme', items: [{type: 'docsVersionDropdown'}, {type: 'localeDropdown'}]},
  },
};
