// Package limit bounds what clients can make the gate do: invalid credentials
// per client address, failed token requests per network, and work that must
// happen only once.
//
// Everything here is in memory and bounded in size and in time. The zero values
// are ready unless a type says otherwise, and all methods may be called
// concurrently.
package limit
