// Durations as a Caddyfile and Caddy's JSON write them: with days.

package settings

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Duration is a duration. In JSON it is a string like "14d", or a number of
// nanoseconds, as caddy.Duration is.
type Duration time.Duration

const day = 24 * time.Hour

var days = regexp.MustCompile(`[0-9.]+d`)

// ParseDuration parses what time.ParseDuration parses, and days ("d").
func ParseDuration(text string) (Duration, error) {
	inHours := days.ReplaceAllStringFunc(text, func(days string) string {
		n, err := strconv.ParseFloat(strings.TrimSuffix(days, "d"), 64)
		if err != nil {
			return days // time.ParseDuration refuses it too
		}
		return strconv.FormatFloat(n*24, 'f', -1, 64) + "h"
	})
	d, err := time.ParseDuration(inHours)
	if err != nil {
		return 0, fmt.Errorf("%q is not a duration like 90s, 5m, 12h or 14d", text)
	}
	return Duration(d), nil
}

// UnmarshalJSON implements json.Unmarshaler.
func (d *Duration) UnmarshalJSON(data []byte) error {
	if data[0] != '"' {
		if err := json.Unmarshal(data, (*time.Duration)(d)); err != nil {
			return fmt.Errorf("reading a duration: %w", err)
		}
		return nil
	}
	parsed, err := ParseDuration(strings.Trim(string(data), `"`))
	if err != nil {
		return err
	}
	*d = parsed
	return nil
}

// String returns the duration as a Caddyfile has it: "14d", not "336h0m0s".
func (d Duration) String() string {
	for _, unit := range []struct {
		length time.Duration
		name   string
	}{{day, "d"}, {time.Hour, "h"}, {time.Minute, "m"}} {
		if time.Duration(d)%unit.length == 0 {
			return strconv.FormatInt(int64(time.Duration(d)/unit.length), 10) + unit.name
		}
	}
	return time.Duration(d).String()
}
