// Package op is the OpenID Provider that RomM signs in against.
//
// It has one client, RomM, and no authorization endpoint of its own: a code
// exists only because a visitor signed in at the gate, which then walks RomM's
// login with it. What is left is the metadata, the token endpoint and the
// keys. None of them redirects, and none waits for storage longer than 2 s, once,
// or for another provider at all, because RomM follows no redirect and gives up
// after 5 s.
//
// Specifications: OpenID Connect Core 1.0, OpenID Connect Discovery 1.0,
// RFC 6749 (OAuth 2.0), RFC 7517 (JSON Web Key), RFC 7638 (JWK thumbprint).
package op
