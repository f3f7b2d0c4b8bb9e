// The rate limit of the token endpoint.

package authelia

import (
	"slices"
	"time"
)

// buckets are the token endpoint's limits per client address. Only failed requests fill them, and a full one refuses all
// requests. The first was measured, the others are the original's defaults.
var buckets = []struct {
	period time.Duration
	calls  int
}{
	{time.Minute, 30},
	{2 * time.Minute, 40},
	{10 * time.Minute, 50},
	{time.Hour, 100},
}

// limited returns the Retry-After for the address, or 0 if it may send requests.
func (s *Server) limited(ip string) time.Duration {
	if !s.rateLimited {
		return 0
	}
	now := s.now()
	s.failures[ip] = slices.DeleteFunc(s.failures[ip], func(t time.Time) bool { return now.Sub(t) >= time.Hour })
	for _, bucket := range buckets {
		failed := 0
		for _, t := range s.failures[ip] {
			if now.Sub(t) < bucket.period {
				failed++
			}
		}
		if failed >= bucket.calls {
			return bucket.period
		}
	}
	return 0
}
