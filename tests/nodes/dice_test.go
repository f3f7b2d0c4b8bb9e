// Chance that can be had again.

package nodes

import (
	"flag"
	"testing"
	"time"
)

var seed = flag.Uint64("seed", 0, "the seed of the random tests; 0: by the clock")

// firstSeed returns the seed of this run, and logs it.
func firstSeed(t *testing.T) uint64 {
	t.Helper()
	start := *seed
	if start == 0 {
		start = uint64(time.Now().UnixNano())
	}
	t.Logf("-seed %d", start)
	return start
}

// dice is a SplitMix64 generator: the same seed gives the same rolls.
type dice uint64

func (d *dice) roll(n int) int {
	*d += 0x9e3779b97f4a7c15
	z := uint64(*d)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return int((z ^ z>>31) % uint64(n))
}
