// Package keyring holds the secrets of a gate: it makes them, loads them,
// rotates them, and seals values with keys derived from them. It also defines
// the Storage that a gate keeps its state in, and the Locks that callers in one
// process take before those of the storage.
//
// Specifications: [RFC 5869](https://datatracker.ietf.org/doc/html/rfc5869)
// (HKDF), [RFC 2104](https://datatracker.ietf.org/doc/html/rfc2104) (HMAC).
package keyring
