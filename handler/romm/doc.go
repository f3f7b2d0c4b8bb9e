// Package romm speaks RomM's dialect: its paths, cookies, tokens and versions,
// how one signs in to it, and what it answers. Everything that knows RomM is
// here; facts were measured against RomM 3.9 to 5.2.
//
// RomM cannot be told who a user is by a header field. But it has an OpenID
// Connect client of its own, and this package walks that client's sign-in with
// the gate as the provider (package flow/op): the result is a session that
// RomM itself made, for REST and sockets alike.
package romm
