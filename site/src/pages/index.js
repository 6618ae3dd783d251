import React from 'react';
import {Redirect} from '@docusaurus/router';

// The site's start is the handbook's.
export default function Home() {
  return <Redirect to="/docs/" />;
}
