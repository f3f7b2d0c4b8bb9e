// From a plan to the files.

package setup

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"embed"
	"encoding/pem"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"text/template"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
)

// File is a file of the setup.
type File struct {
	Name    string      `json:"name"` // with slashes, below the folder of the setup
	Mode    fs.FileMode `json:"-"`
	Secret  bool        `json:"secret"` // only its owner may read it
	Content string      `json:"content,omitempty"`
}

// Setup is a new installation.
type Setup struct {
	Site     string   `json:"site"` // RomM's public address
	Files    []File   `json:"files"`
	User     string   `json:"user,omitempty"`     // the first user of a new Authelia
	Password string   `json:"password,omitempty"` // theirs
	Steps    []string `json:"steps"`              // what to do by hand first
	Commands []string `json:"commands"`           // what to type then
}

//go:embed files/*
var templates embed.FS

// secrets are the values that no user has to know.
type secrets struct {
	Client, ClientDigest       string
	PasswordDigest             string
	HMAC, StorageKey, Provider string // Authelia's
	Database, RommKey          string
}

// values are what the templates see.
type values struct {
	*Plan
	secrets

	Base, RedirectURI, CookieDomain, ClientID, Scopes string
	AutheliaUpstream, Data, CaddyHost                 string

	ClientKeys string   // the address of the client's public keys
	SiteHost   string   // the site's name
	Ports      []string // that the container of Caddy publishes
	Secure     bool     // the site is https
}

// Make returns the files of plan, or what is wrong with it.
func Make(plan Plan) (*Setup, error) {
	p := &plan
	p.fill()
	if err := p.check(); err != nil {
		return nil, err
	}
	made, err := p.secrets()
	if err != nil {
		return nil, err
	}
	v := &values{
		Plan: p, secrets: *made, Base: request.Base, RedirectURI: p.redirectURI(), ClientID: clientID, Scopes: "openid profile email",
		CookieDomain: cookieDomain(p.Authelia, p.Site), AutheliaUpstream: strings.TrimPrefix(p.AutheliaAddress, "http://"), Data: "/config",
		CaddyHost: hostname(p.CaddyAddress), Secure: strings.HasPrefix(p.Site, "https://"), Ports: p.ports(),
		ClientKeys: p.redirectURI() + flow.ClientKeysPath, SiteHost: hostname(p.Site),
	}
	if p.Group != "" {
		v.Scopes = withGroups
	}
	if p.OnHost {
		v.Data = p.Folder + "/authelia"
	}
	s := &Setup{Site: p.Site, Steps: p.steps(), Commands: p.commands()}
	if !p.AutheliaExists {
		s.User, s.Password = p.AdminName, p.Password
	}
	parsed, err := template.New("").Funcs(template.FuncMap{"yaml": yaml, "token": token, "indent": indent, "fields": strings.Fields}).ParseFS(templates, "files/*")
	if err != nil {
		return nil, fmt.Errorf("parsing the templates: %w", err)
	}
	for _, file := range p.files() {
		var content bytes.Buffer
		if err := parsed.ExecuteTemplate(&content, file.template, v); err != nil {
			return nil, fmt.Errorf("writing %s: %w", file.name, err)
		}
		mode := fs.FileMode(0o644)
		if file.secret {
			mode = 0o600
		}
		s.Files = append(s.Files, File{Name: file.name, Mode: mode, Secret: file.secret, Content: content.String()})
	}
	return s, nil
}

// file is a file and where it comes from.
type file struct {
	name, template string
	secret         bool
}

// files returns which files the plan needs.
func (p *Plan) files() []file {
	files := []file{{"Caddyfile", "Caddyfile.tmpl", false}, {".env", "env.tmpl", true}, {"romm.env", "romm.env.tmpl", p.RommExists}}
	if !p.OnHost {
		files = append(files, file{"compose.yml", "compose.yml.tmpl", false})
	}
	if p.AutheliaExists {
		return append(files, file{"authelia-client.yml", "authelia-client.yml.tmpl", false})
	}
	return append(files, file{"authelia/configuration.yml", "configuration.yml.tmpl", true}, file{"authelia/users.yml", "users.yml.tmpl", true})
}

// steps returns what the operator does before the commands.
func (p *Plan) steps() (steps []string) {
	if p.AutheliaExists {
		steps = append(steps, "Add the client in authelia-client.yml to Authelia's configuration.yml, and restart Authelia.")
	}
	if p.RommExists {
		steps = append(steps, "Give RomM the variables in romm.env, and restart RomM once Caddy runs.")
	}
	return steps
}

const inContainer = "docker compose exec caddy "

// commands returns what the operator types, in the folder of the files.
func (p *Plan) commands() []string {
	folder := "cd " + quoteShell(p.Folder)
	if p.OnHost {
		return []string{folder, "caddy romm-oidc doctor --config Caddyfile --envfile .env", "caddy run --config Caddyfile --envfile .env"}
	}
	return []string{folder, "docker compose up -d", inContainer + "caddy romm-oidc doctor"}
}

// ports returns the ports that the container of Caddy publishes.
func (p *Plan) ports() (ports []string) {
	addresses := []string{p.Site}
	if !p.AutheliaExists {
		addresses = append(addresses, p.Authelia)
	}
	for _, address := range addresses {
		scheme, host, _ := strings.Cut(address, "://")
		needs := []string{"80:80", "443:443", "443:443/udp"}
		if own := port(host); own != "" {
			needs = []string{own + ":" + own}
		} else if scheme == "http" {
			needs = needs[:1]
		}
		ports = append(ports, needs...)
	}
	slices.Sort(ports)
	return slices.Compact(ports)
}

// quoteShell quotes text for a shell if it has to be.
func quoteShell(text string) string {
	if text != "" && !strings.ContainsFunc(text, func(c rune) bool { return !strings.ContainsRune("/._-+:@", c) && !isLetterOrDigit(c) }) {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

func isLetterOrDigit(c rune) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// secrets makes the secrets of the plan.
func (p *Plan) secrets() (*secrets, error) {
	made := &secrets{Client: newSecret(), Database: newSecret(), RommKey: newSecret()}
	var err error
	if made.ClientDigest, err = secretDigest(made.Client, newSalt()); err != nil {
		return nil, err
	}
	if p.AutheliaExists {
		return made, nil
	}
	p.Password = cmp.Or(p.Password, rand.Text())
	made.PasswordDigest = passwordDigest(p.Password, newSalt(), argonDefault)
	made.HMAC, made.StorageKey = newSecret(), newSecret()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, fmt.Errorf("making the provider's key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encoding the provider's key: %w", err)
	}
	made.Provider = string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	return made, nil
}

// yaml quotes a value for a YAML file.
func yaml(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

// token quotes a value for a Caddyfile if it has to be. check has refused what
// quotes cannot hold.
func token(text string) string {
	if strings.ContainsAny(text, " \t") {
		return `"` + text + `"`
	}
	return text
}

// indent indents the lines of text by n spaces.
func indent(n int, text string) string {
	space := strings.Repeat(" ", n)
	return space + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n"+space)
}
