// Package request reads what the gate needs to know from a request, and cleans
// what it passes on: the normal path, the Fetch Metadata class, cross-origin
// use, the public origin, cookies and identity header fields. It keeps no state.
package request
