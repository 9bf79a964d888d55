/** The SDK versions that are compared, each by the name of its folder in node_modules. */
'use strict';

const path = require('node:path');

const NAMES = ['react-native-sdk-before', 'react-native-sdk'];

function sdk(name) {
  const root = path.dirname(require.resolve(`${name}/package.json`));
  const clientPackage = require.resolve('@stream-io/video-client/package.json', { paths: [root] });
  return {
    name,
    root,
    version: require(path.join(root, 'package.json')).version,
    clientRoot: path.dirname(clientPackage),
    clientVersion: require(clientPackage).version,
    client: () => require(require.resolve('@stream-io/video-client', { paths: [root] })),
  };
}

const [before, current] = NAMES.map(sdk);
module.exports = { before, current, all: [before, current] };
