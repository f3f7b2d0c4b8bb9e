// Package romm is a stand-in for RomM: nginx, the API, the sockets and a page
// that behaves like its single-page application, in one http.Handler.
//
// It exists for tests and for the demo and is as unkind as the original: where
// RomM answers 500, it answers 500. It was written from observed behaviour;
// what depends on RomM's version was measured against RomM 5.2.0 and read in
// the releases before it. Passing against this package means "works against
// our stand-in", nothing more.
package romm
