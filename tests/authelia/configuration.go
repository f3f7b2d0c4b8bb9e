// The stand-in reads what an operator gives to the original: configuration.yml,
// the users file, and a client on its own.

package authelia

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// configuration is the part of Authelia's configuration that the stand-in
// knows. As in the original, any other key is an error.
type configuration struct {
	Server struct {
		Address string `yaml:"address"`
	} `yaml:"server"`
	Backend struct {
		PasswordReset struct {
			Disable bool `yaml:"disable"`
		} `yaml:"password_reset"`
		File struct {
			Path  string `yaml:"path"`
			Watch bool   `yaml:"watch"`
		} `yaml:"file"`
	} `yaml:"authentication_backend"`
	AccessControl struct {
		DefaultPolicy string `yaml:"default_policy"`
	} `yaml:"access_control"`
	Session struct {
		Cookies []struct {
			Domain      string `yaml:"domain"`
			AutheliaURL string `yaml:"authelia_url"`
		} `yaml:"cookies"`
	} `yaml:"session"`
	Storage struct {
		EncryptionKey string `yaml:"encryption_key"`
		Local         struct {
			Path string `yaml:"path"`
		} `yaml:"local"`
	} `yaml:"storage"`
	Notifier struct {
		Filesystem struct {
			Filename string `yaml:"filename"`
		} `yaml:"filesystem"`
	} `yaml:"notifier"`
	Providers struct {
		OIDC struct {
			HMACSecret string `yaml:"hmac_secret"`
			JWKS       []struct {
				Key string `yaml:"key"`
			} `yaml:"jwks"`
			Policies  map[string]policyEntry `yaml:"authorization_policies"`
			Lifespans struct {
				Custom map[string]struct {
					RefreshToken string `yaml:"refresh_token"`
				} `yaml:"custom"`
			} `yaml:"lifespans"`
			Clients []clientEntry `yaml:"clients"`
		} `yaml:"oidc"`
	} `yaml:"identity_providers"`
}

type clientEntry struct {
	ID              string   `yaml:"client_id"`
	Name            string   `yaml:"client_name"`
	Secret          string   `yaml:"client_secret"`
	Public          bool     `yaml:"public"`
	Policy          string   `yaml:"authorization_policy"`
	ConsentMode     string   `yaml:"consent_mode"`
	ConsentDuration string   `yaml:"pre_configured_consent_duration"`
	RequirePKCE     bool     `yaml:"require_pkce"`
	PKCEMethod      string   `yaml:"pkce_challenge_method"`
	RedirectURIs    []string `yaml:"redirect_uris"`
	Scopes          []string `yaml:"scopes"`
	ResponseTypes   []string `yaml:"response_types"`
	GrantTypes      []string `yaml:"grant_types"`
	AuthMethod      string   `yaml:"token_endpoint_auth_method"`
	Lifespan        string   `yaml:"lifespan"`

	AuthAlg             string `yaml:"token_endpoint_auth_signing_alg"`
	PushMethod          string `yaml:"pushed_authorization_request_endpoint_auth_method"`
	PushAlg             string `yaml:"pushed_authorization_request_endpoint_auth_signing_alg"`
	RevocationMethod    string `yaml:"revocation_endpoint_auth_method"`
	RevocationAlg       string `yaml:"revocation_endpoint_auth_signing_alg"`
	IntrospectionMethod string `yaml:"introspection_endpoint_auth_method"`
	IntrospectionAlg    string `yaml:"introspection_endpoint_auth_signing_alg"`
	JWKSURI             string `yaml:"jwks_uri"`
}

// policyEntry is a policy for clients that the operator named.
type policyEntry struct {
	Default string `yaml:"default_policy"`
	Rules   []struct {
		Policy  string `yaml:"policy"`
		Subject string `yaml:"subject"`
	} `yaml:"rules"`
}

// groups returns the groups that p lets in, and whether with a second factor.
func (p policyEntry) groups() (groups []string, twoFactor bool, err error) {
	for _, rule := range p.Rules {
		group, ok := strings.CutPrefix(rule.Subject, "group:")
		if !ok || p.Default != "deny" || rule.Policy != p.Rules[0].Policy {
			return nil, false, errors.New("the stand-in knows policies that deny by default and let in groups in one way")
		}
		groups = append(groups, group)
	}
	if len(groups) == 0 {
		return nil, false, errors.New("no such policy")
	}
	return groups, p.Rules[0].Policy == "two_factor", nil
}

// Read returns the options for a configuration.yml and a users file, or what the
// original refuses to start with.
func Read(config, users []byte) (Options, error) {
	c, err := decode[configuration](config)
	if err != nil {
		return Options{}, err
	}
	clients, err := c.clients()
	if err != nil {
		return Options{}, err
	}
	if err := c.check(); err != nil {
		return Options{}, err
	}
	accounts, err := readUsers(users)
	if err != nil {
		return Options{}, err
	}
	cookie := c.Session.Cookies[0]
	return Options{Issuer: cookie.AutheliaURL, CookieDomain: cookie.Domain, Clients: clients, Users: accounts}, nil
}

// ReadClients returns the clients of a part of a configuration.yml.
func ReadClients(config []byte) ([]Client, error) {
	c, err := decode[configuration](config)
	if err != nil {
		return nil, err
	}
	return c.clients()
}

func decode[T any](text []byte) (*T, error) {
	value := new(T)
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(value); err != nil {
		return nil, fmt.Errorf("authelia: %w", err)
	}
	return value, nil
}

// check is the validation of what is not a client.
func (c *configuration) check() error {
	oidc := c.Providers.OIDC
	switch {
	case len(c.Session.Cookies) != 1 || !strings.HasPrefix(c.Session.Cookies[0].AutheliaURL, "https://"):
		return errors.New("authelia: session: cookies: one with an https authelia_url is required")
	case len(c.Storage.EncryptionKey) < 20:
		return errors.New("authelia: storage: encryption_key must have 20 characters or more")
	case c.Storage.Local.Path == "" || c.Notifier.Filesystem.Filename == "" || c.Backend.File.Path == "":
		return errors.New("authelia: storage, notifier and authentication_backend are required")
	case !c.Backend.PasswordReset.Disable:
		return errors.New("authelia: identity_validation: reset_password: jwt_secret is required unless password_reset is disabled")
	case oidc.HMACSecret == "" || len(oidc.JWKS) == 0:
		return errors.New("authelia: identity_providers: oidc: hmac_secret and one of the jwks are required")
	}
	domain, host := c.Session.Cookies[0].Domain, strings.TrimPrefix(c.Session.Cookies[0].AutheliaURL, "https://")
	host, _, _ = strings.Cut(host, ":")
	if !strings.Contains(domain, ".") || host != domain && !strings.HasSuffix(host, "."+domain) {
		return fmt.Errorf("authelia: session: the cookie's domain %q does not have %q", domain, host)
	}
	block, _ := pem.Decode([]byte(oidc.JWKS[0].Key))
	if block == nil {
		return errors.New("authelia: jwks: the key is not in PEM form")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return fmt.Errorf("authelia: jwks: %w", err)
	}
	if key, ok := key.(*rsa.PrivateKey); !ok || key.N.BitLen() < 2048 {
		return errors.New("authelia: jwks: an RSA key of 2048 bits or more is required")
	}
	return nil
}

// clients returns the registered clients.
func (c *configuration) clients() (clients []Client, err error) {
	for _, entry := range c.Providers.OIDC.Clients {
		groups, twoFactor := []string(nil), entry.Policy == "two_factor"
		if !twoFactor && entry.Policy != "one_factor" {
			if groups, twoFactor, err = c.Providers.OIDC.Policies[entry.Policy].groups(); err != nil {
				return nil, fmt.Errorf("authelia: client %s: authorization_policy %q: %w", entry.ID, entry.Policy, err)
			}
		}
		_, hasLifespan := c.Providers.OIDC.Lifespans.Custom[entry.Lifespan]
		switch {
		case entry.Public:
			return nil, fmt.Errorf("authelia: client %s: the stand-in knows confidential clients", entry.ID)
		case entry.Lifespan != "" && !hasLifespan:
			return nil, fmt.Errorf("authelia: client %s: unknown lifespan %q", entry.ID, entry.Lifespan)
		case !slices.Contains([]string{"", "auto", "explicit", "implicit", "pre-configured"}, entry.ConsentMode), !slices.Equal(entry.ResponseTypes, []string{"code"}):
			return nil, fmt.Errorf("authelia: client %s: unknown consent_mode %q or response_types %q", entry.ID, entry.ConsentMode, entry.ResponseTypes)
		}
		if err := entry.checkKey(); err != nil {
			return nil, fmt.Errorf("authelia: client %s: %w", entry.ID, err)
		}
		clients = append(clients, Client{
			ID: entry.ID, SecretDigest: entry.Secret, RedirectURIs: entry.RedirectURIs, Scopes: entry.Scopes, GrantTypes: entry.GrantTypes,
			AuthMethod: entry.AuthMethod, AuthAlg: entry.AuthAlg, JWKSURI: entry.JWKSURI, ConsentMode: entry.ConsentMode, RequirePKCE: entry.RequirePKCE,
			AllowedGroups: groups, TwoFactor: twoFactor,
		})
	}
	return clients, nil
}

// readUsers returns the accounts of a users file.
func readUsers(text []byte) (accounts []User, err error) {
	file, err := decode[struct {
		Users map[string]struct {
			Disabled    bool     `yaml:"disabled"`
			DisplayName string   `yaml:"displayname"`
			Password    string   `yaml:"password"`
			Email       string   `yaml:"email"`
			Groups      []string `yaml:"groups"`
		} `yaml:"users"`
	}](text)
	if err != nil {
		return nil, err
	}
	for name, entry := range file.Users {
		if _, err := parseDigest(entry.Password); err != nil {
			return nil, fmt.Errorf("authelia: user %s: %w", name, err)
		}
		accounts = append(accounts, User{
			Name: name, PasswordDigest: entry.Password, DisplayName: entry.DisplayName, Email: entry.Email, Groups: entry.Groups, Disabled: entry.Disabled,
		})
	}
	return accounts, nil
}
