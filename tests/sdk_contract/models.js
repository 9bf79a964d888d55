/** Stream's generated models, as the TypeScript compiler reads them. */
'use strict';

const path = require('node:path');
const ts = require('typescript');

class Models {
  constructor(sdk) {
    const file = path.join(sdk.clientRoot, 'dist', 'src', 'gen', 'coordinator', 'index.d.ts');
    const program = ts.createProgram([file], { skipLibCheck: true, strict: true, types: [] });
    this.checker = program.getTypeChecker();
    const module = this.checker.getSymbolAtLocation(program.getSourceFile(file));
    this.exports = new Map(this.checker.getExportsOfModule(module).map((symbol) => [symbol.name, symbol]));
    this.events = new Map(this.named('VideoEvent').types.map((event) => [this.typeOfEvent(event), event]));
  }

  /** The model of this name, if there is one. */
  named(name) {
    const symbol = this.exports.get(name);
    return symbol && this.checker.getDeclaredTypeOfSymbol(symbol);
  }

  typeOfEvent(event) {
    return this.checker.getTypeOfSymbol(event.getProperty('type')).value;
  }

  fields(model) {
    return model.getProperties().map(({ name }) => name);
  }

  /** Whether a model has this path, such as "members[].user.id". A model with any keys has every path. */
  has(model, fieldPath) {
    let type = model;
    for (const part of fieldPath.split('.')) {
      if (type.flags & ts.TypeFlags.Any || this.checker.getIndexTypeOfType(type, ts.IndexKind.String)) return true;
      const field = type.getProperty(part.replace('[]', ''));
      if (!field) return false;
      type = this.checker.getNonNullableType(this.checker.getTypeOfSymbol(field));
      if (part.endsWith('[]')) type = this.checker.getIndexTypeOfType(type, ts.IndexKind.Number);
    }
    return true;
  }
}

module.exports = { Models };
