"use strict";
// Tokens that are typed in are forgotten when the page is closed. No other site is asked to validate the document.
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#api",
  deepLinking: true,
  persistAuthorization: false,
  validatorUrl: "none",
});
