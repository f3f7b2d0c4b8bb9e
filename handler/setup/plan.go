// What the operator answers, and what follows from it.

package setup

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strings"

	"github.com/romm-oidc/caddy-romm-oidc/handler"
	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
	"github.com/romm-oidc/caddy-romm-oidc/handler/romm"
	"github.com/romm-oidc/caddy-romm-oidc/handler/settings"
)

// Plan is what the operator answers. Site, Authelia and Admin are required, and
// every other field has a default.
type Plan struct {
	// Site is RomM's public address.
	Site string
	// Authelia is Authelia's public address.
	Authelia string
	// Admin is the e-mail address of RomM's administrator.
	Admin string

	// AutheliaExists is true if Authelia runs already. Default: it is set up too.
	AutheliaExists bool
	// RommExists is true if RomM runs already. Default: it is set up too.
	RommExists bool
	// OnHost is true if Caddy runs without a container. Default: in one.
	OnHost bool

	// AdminName is the administrator's login at a new Authelia. Default: what
	// stands before the "@" of Admin.
	AdminName string
	// Password is that login's password. Default: a random one.
	Password string
	// Group is the group whose members may use the site. Default: every user
	// that Authelia signs in.
	Group string
	// PrivateKey is true if the client authenticates with a key, which Authelia
	// reads from the site. Default: with a secret.
	PrivateKey bool
	// Policy is the client's authorization policy at Authelia. Default:
	// one_factor at a new Authelia, whose users have no second factor yet, else
	// two_factor.
	Policy string

	// RommAddress is where Caddy reaches RomM. Default: romm:8080.
	RommAddress string
	// AutheliaAddress is where Caddy reaches Authelia. Default:
	// http://authelia:9091 if Authelia is set up too, else its public address.
	AutheliaAddress string
	// CaddyAddress is where RomM reaches Caddy. Default: http://caddy:9080.
	CaddyAddress string
	// Image is an image of Caddy with the module. Default: compose builds one.
	Image string
	// Network is the container network that RomM or Authelia is in already.
	Network string
	// Folder is where the files will be, for those that name each other.
	Folder string
}

const (
	clientID   = "romm"
	rommPort   = ":8080"
	localhost  = "127.0.0.1"
	oneFactor  = "one_factor"
	twoFactor  = "two_factor"
	withGroups = "openid profile email groups"
)

// fill sets the defaults, and writes addresses as they are compared.
func (p *Plan) fill() {
	p.Site = address(p.Site)
	p.Authelia = address(p.Authelia)
	romm, authelia, caddy := "romm"+rommPort, "http://authelia:9091", "http://caddy:9080"
	if p.OnHost {
		romm, authelia, caddy = localhost+rommPort, "http://"+localhost+":9091", "http://"+localhost+":9080"
		p.RommExists = true // RomM is published as a container only
	}
	p.RommAddress = cmp.Or(strings.TrimPrefix(p.RommAddress, "http://"), romm)
	p.CaddyAddress = cmp.Or(strings.TrimSuffix(p.CaddyAddress, "/"), caddy)
	policy := oneFactor
	if p.AutheliaExists {
		authelia, policy = "", twoFactor
	}
	p.Policy = cmp.Or(p.Policy, policy)
	p.AutheliaAddress = cmp.Or(strings.TrimSuffix(p.AutheliaAddress, "/"), authelia)
	name, _, _ := strings.Cut(p.Admin, "@")
	p.AdminName = cmp.Or(p.AdminName, strings.ToLower(name))
}

// address returns a public address as an operator may write it with its scheme,
// and without a slash at the end.
func address(text string) string {
	text = strings.TrimRight(strings.TrimSpace(text), "/")
	if text != "" && !strings.Contains(text, "://") {
		text = "https://" + text
	}
	return text
}

// What the files can carry.
var (
	login = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{2,63}$`)
	image = regexp.MustCompile(`^[a-z0-9][A-Za-z0-9._/:@-]*$`)
	plain = regexp.MustCompile("^[^\"'`{}\\\\#$\\x00-\\x1f]+$")
)

// check explains what is wrong with a plan that has its defaults.
func (p *Plan) check() error {
	switch {
	case p.Site == "":
		return errors.New("the public address of RomM is missing, for instance --site https://romm.example.com")
	case p.Authelia == "":
		return errors.New("the public address of Authelia is missing, for instance --authelia https://auth.example.com")
	case p.Admin == "":
		return errors.New("the administrator's e-mail address is missing, for instance --admin you@example.com")
	case !romm.IsEmail(p.Admin) || !plain.MatchString(p.Admin) || strings.ContainsAny(p.Admin, " \t"):
		return fmt.Errorf("--admin: %q is no e-mail address like you@example.com", p.Admin)
	case p.Policy != oneFactor && p.Policy != twoFactor:
		return fmt.Errorf("--policy: %q is neither %s nor %s", p.Policy, oneFactor, twoFactor)
	case p.Group != "" && (!plain.MatchString(p.Group) || strings.TrimSpace(p.Group) != p.Group):
		return fmt.Errorf("--group: %q has a character that the files cannot carry", p.Group)
	case !p.AutheliaExists && !login.MatchString(p.AdminName):
		return fmt.Errorf("--admin-name: %q is no login: write 3 to 64 letters, digits, dots, dashes or underscores", p.AdminName)
	case p.Image != "" && !image.MatchString(p.Image):
		return fmt.Errorf("--image: %q is no name of an image", p.Image)
	case p.Network != "" && !login.MatchString(p.Network):
		return fmt.Errorf("--network: %q is no name of a container network", p.Network)
	}
	origin, err := request.OriginOf(p.Site)
	if err != nil || origin.String() != strings.ToLower(p.Site) {
		return fmt.Errorf("--site: %q is no address like https://romm.example.com: write scheme and host, without a path", p.Site)
	}
	p.Site = origin.String()
	if err := p.checkAuthelia(origin); err != nil {
		return err
	}
	if err := p.checkInside(origin); err != nil {
		return err
	}
	s := settings.Settings{
		Issuer: p.Authelia, IssuerAddress: p.AutheliaAddress, ClientID: clientID, ClientSecret: "checked", RedirectURI: p.redirectURI(),
		Scopes: strings.Fields(withGroups), Roles: &romm.Roles{Admin: []string{p.Admin}, User: []string{romm.Everyone}},
	}
	if p.PrivateKey {
		if !origin.Secure() {
			return errors.New("--private-key-jwt: Authelia reads the client's keys over https only: give the site an https address")
		}
		s.ClientAuth, s.ClientSecret, s.RommClientSecret = settings.ClientAuthKey, "", "checked"
	}
	if p.Group != "" {
		s.Allow = &handler.Policy{Groups: []string{p.Group}}
	}
	resolved, err := s.Resolve(func(text string) (string, error) { return text, nil })
	if err != nil {
		return err
	}
	return resolved.Check()
}

// checkAuthelia explains what is wrong with Authelia's public address.
func (p *Plan) checkAuthelia(site request.Origin) error {
	origin, err := request.OriginOf(p.Authelia)
	if err != nil || strings.ContainsAny(p.Authelia, "?# ") {
		return fmt.Errorf("--authelia: %q is no address like https://auth.example.com", p.Authelia)
	}
	if p.AutheliaExists {
		return nil
	}
	switch {
	case origin.String() != strings.ToLower(p.Authelia):
		return fmt.Errorf("--authelia: write %q, without a path: a new Authelia gets a name of its own", origin)
	case !origin.Secure():
		return fmt.Errorf("--authelia: %q must be https: Authelia signs users in over https only", p.Authelia)
	case origin.HasName(site.Host):
		return fmt.Errorf("--authelia: %q is RomM's name: a new Authelia needs one of its own, for instance https://auth.%s", p.Authelia, site.Host)
	case !strings.Contains(origin.Host, "."):
		return fmt.Errorf("--authelia: Authelia refuses the name %q, which has no dot: write one like https://auth.example.com", origin.Host)
	}
	p.Authelia = origin.String()
	return nil
}

// checkInside explains what is wrong with the addresses behind Caddy.
func (p *Plan) checkInside(site request.Origin) error {
	inside, err := request.OriginOf(p.CaddyAddress)
	if err != nil || inside.Secure() || inside.String() != p.CaddyAddress {
		return fmt.Errorf("--caddy-address: %q is no address like http://caddy:9080, where RomM reaches Caddy without TLS", p.CaddyAddress)
	}
	if p.OnHost && port(inside.Host) == port(site.Host) {
		return fmt.Errorf("--caddy-address: %q needs a port that the site does not use", p.CaddyAddress)
	}
	if _, _, err := net.SplitHostPort(p.RommAddress); err != nil || strings.ContainsAny(p.RommAddress, "/ \t\"'{}") {
		return fmt.Errorf("--romm-address: %q is not like romm:8080", p.RommAddress)
	}
	return nil
}

func port(host string) string {
	u := url.URL{Host: host}
	return u.Port()
}

func (p *Plan) redirectURI() string { return p.Site + request.Base }
