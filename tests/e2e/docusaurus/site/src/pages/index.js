import React from 'react';
import Layout from '@theme/Layout';

export default function Home() {
  return (
    <Layout title="Home" description="The front page">
      <main>
        <h1>Apples, counted</h1>
        <p>Acme counts apples while you sleep.</p>
      </main>
    </Layout>
  );
}
