// Package flow is the relying party: it sends a visitor to an OpenID Provider
// and turns what comes back into a verified identity.
//
// It speaks the specifications' language and nothing else: values go in,
// values come out, and no function here writes an HTTP response. What a
// browser gets is decided by package handler.
//
// Specifications: OpenID Connect Core 1.0, RFC 6749 (OAuth 2.0), RFC 7636
// (PKCE), RFC 9207 (authorization response issuer), RFC 9700 (security best
// current practice).
package flow
