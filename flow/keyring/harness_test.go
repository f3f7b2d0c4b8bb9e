// Helpers for the tests of this package.

package keyring

import (
	"slices"
	"testing"
)

// ringOf returns a keyring of gate. Each secret consists of one repeated byte.
func ringOf(tb testing.TB, gate string, secrets ...byte) *Keyring {
	tb.Helper()
	all := make([][]byte, len(secrets))
	for i, secret := range secrets {
		all[i] = slices.Repeat([]byte{secret}, secretSize)
	}
	keyring, err := New(gate, all...)
	if err != nil {
		tb.Fatal(err)
	}
	return keyring
}
