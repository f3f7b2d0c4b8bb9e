// The domain of Authelia's own cookie.

package setup

import (
	"net/url"
	"strings"

	"golang.org/x/net/publicsuffix"
)

// cookieDomain returns the domain of Authelia's cookie: the one that has both
// names, so that its logout page may send browsers back to the site, or else
// Authelia's own name.
func cookieDomain(authelia, site string) string {
	a, b := hostname(authelia), hostname(site)
	for domain := a; domain != ""; _, domain, _ = strings.Cut(domain, ".") {
		if b != domain && !strings.HasSuffix(b, "."+domain) {
			continue
		}
		// Browsers refuse cookies for a domain in which strangers get names.
		if registered, err := publicsuffix.EffectiveTLDPlusOne(domain); err == nil && strings.HasSuffix(domain, registered) {
			return domain
		}
		break
	}
	return a
}

func hostname(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Hostname()
}
