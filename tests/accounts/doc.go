// Package accounts holds a randomised test of who reaches RomM as whom: three
// gates that share a storage, in front of the stand-ins for Authelia and RomM,
// without a Caddy and on a clock of their own.
package accounts
