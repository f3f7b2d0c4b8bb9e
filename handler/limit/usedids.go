// Identifiers that may be used only once, such as the jti of a logout token.

package limit

import (
	"crypto/sha256"
	"sync"
	"time"
)

// usedIDsKept bounds how many identifiers are remembered. An attacker cannot
// reach it, because only valid logout tokens count and only the provider issues
// them.
const usedIDsKept = 10_000

// UsedIDs remembers identifiers that were used, against replay.
type UsedIDs struct {
	Age time.Duration // how long an identifier is remembered

	mu    sync.Mutex
	known bounded[[sha256.Size]byte, struct{}]
}

// First reports whether id is used for the first time.
func (u *UsedIDs) First(id string, now time.Time) bool {
	key := sha256.Sum256([]byte(id))
	u.mu.Lock()
	defer u.mu.Unlock()
	u.known.expire(now, u.Age)
	if _, used := u.known.get(key); used {
		return false
	}
	u.known.add(key, struct{}{}, now, usedIDsKept)
	return true
}
