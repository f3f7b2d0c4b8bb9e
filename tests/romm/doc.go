// Package romm is a stand-in for RomM: nginx, the API, the sockets and a page
// that behaves like its single-page application, in one http.Handler.
//
// It is made for tests and for the demo and is as strict as the original: where
// RomM returns a 500, it returns a 500. It behaves like RomM 3.10 and later:
// measured on RomM 5.2.0, and read in the source of the other releases. A test
// that passes against this package shows that a client works with the stand-in,
// and not that it works with RomM.
package romm
