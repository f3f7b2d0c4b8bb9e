// E-mail addresses: the one way in which settings are compared with them.

package flow

import "strings"

// EqualFoldASCII reports whether a and b, e-mail addresses or domains, are
// equal without regard to the case of ASCII letters. It is false if one of them
// has other characters: by Unicode's rules, the Kelvin sign folds into "k", so
// that an attacker's address could match another user's.
func EqualFoldASCII(a, b string) bool {
	return isASCII(a) && isASCII(b) && strings.EqualFold(a, b)
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
