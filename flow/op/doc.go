// Package op is the OpenID Provider that RomM signs in against.
//
// It has one client, RomM, and no authorization endpoint: a code exists only
// because a user signed in at the gate, which then goes through RomM's login
// with it. That leaves the metadata, the token endpoint and the JWK Set. None
// of them redirects, because RomM follows no redirects. RomM also gives up
// after 5 s, so a request waits for storage once, for at most 2 s, and never
// for another provider.
//
// Its signing keys are made, shared, rotated and published in a way that serves
// the gate's client at the other provider too: see NewClientKeys.
//
// Specifications:
// [OpenID Connect Core 1.0](https://openid.net/specs/openid-connect-core-1_0.html),
// [OpenID Connect Discovery 1.0](https://openid.net/specs/openid-connect-discovery-1_0.html),
// [RFC 6749](https://datatracker.ietf.org/doc/html/rfc6749) (OAuth 2.0),
// [RFC 7517](https://datatracker.ietf.org/doc/html/rfc7517) (JSON Web Key),
// [RFC 7638](https://datatracker.ietf.org/doc/html/rfc7638) (JWK thumbprint).
package op
