// Package nodes holds randomised tests of three gates that share a storage, in
// front of the stand-ins for Authelia and RomM, without a Caddy and on a clock
// of their own. They say with which seed they ran.
package nodes
