// Package flow is the relying party: it sends a user to an OpenID Provider and
// turns the answer into a verified identity.
//
// It takes values and returns values, in the specifications' terms. It never
// writes an HTTP response: package handler decides what a browser gets.
//
// Specifications:
// [OpenID Connect Core 1.0](https://openid.net/specs/openid-connect-core-1_0.html),
// [RFC 6749](https://datatracker.ietf.org/doc/html/rfc6749) (OAuth 2.0),
// [RFC 7636](https://datatracker.ietf.org/doc/html/rfc7636) (PKCE),
// [RFC 9207](https://datatracker.ietf.org/doc/html/rfc9207) (authorization response issuer),
// [RFC 9700](https://datatracker.ietf.org/doc/html/rfc9700) (security best current practice).
package flow
