// Package romm implements [application.Application] for RomM: its paths, cookies,
// credentials and releases, and how to sign a user in. Everything that knows
// RomM is here. It supports RomM 3.10 and later: measured on RomM 5.2.0, and read
// in the source of earlier releases.
//
// RomM does not accept a user's identity in a header field. But it has an OpenID
// Connect client, and this package drives that client through a sign-in with the
// gate as the provider (package flow/op). The result is a session that RomM
// itself made, good for its REST API and its WebSockets.
package romm
