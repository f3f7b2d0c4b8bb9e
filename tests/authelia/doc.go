// Package authelia is a stand-in for Authelia 4.39.20 as an OpenID Provider, for tests and for a demo.
//
// It is meant to be as strict as the original: what a relying party can see on the wire was measured against
// Authelia 4.39.20 and is reproduced here, refusals included. It differs where a test needs it to: passwords and
// secrets are compared in plain text, so nothing waits for a key derivation, and a test may change accounts, clients
// and keys at any time, ask for a misbehaviour (see [Server.Misbehave]), or for another provider's habits (see
// [Server.ActAs]).
//
// It does not implement second factors (a user of a two_factor client stays at the portal), signed
// authorization requests, the device and client credentials grants, JWT access tokens, the claims
// parameter's effect, base paths.
//
// Never put it in front of a real application.
package authelia
