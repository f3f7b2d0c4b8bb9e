// The stand-in's options: RomM's environment variables and handles for tests.

package romm

import (
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"strings"
	"time"
)

// Options are RomM's environment variables and a few settings for tests. The zero
// value is a RomM 5.2.0 without OpenID Connect and without users.
type Options struct {
	// Version is the release to behave like, for example "4.8.0". Default:
	// "5.2.0".
	Version string
	// OIDC is RomM's OpenID Connect client.
	OIDC OIDC
	// Kiosk is KIOSK_MODE: anonymous requests may read.
	Kiosk bool
	// DisableSetupWizard is DISABLE_SETUP_WIZARD. It hides the wizard but, as in
	// RomM, the endpoint that creates the first administrator stays open.
	DisableSetupWizard bool
	// DisableUserpassLogin is DISABLE_USERPASS_LOGIN. It hides the form but, as in
	// RomM, the endpoints that accept passwords stay open.
	DisableUserpassLogin bool
	// DisableDownloadEndpointAuth is DISABLE_DOWNLOAD_ENDPOINT_AUTH.
	DisableDownloadEndpointAuth bool
	// DisableCSRFProtection is DISABLE_CSRF_PROTECTION.
	DisableCSRFProtection bool
	// SecureCookies is ROMM_SESSION_SECURE_COOKIE (RomM 5.1 and later).
	SecureCookies bool
	// CORSAllowedOrigins is ROMM_CORS_ALLOWED_ORIGINS (RomM 5.1 and later). Default: any.
	CORSAllowedOrigins []string
	// SecretKey is ROMM_AUTH_SECRET_KEY. Default: a random key, new at each
	// restart.
	SecretKey string
	// SessionMaxAge is how long an unused session lives, from 4.0. Default: 14
	// days.
	SessionMaxAge time.Duration
	// ContentSize is the size of each ROM, in bytes. Default: 1 MiB.
	ContentSize int64
	// ScanSteps is how many ROMs a scan reports. Default: 3.
	ScanSteps int
	// PlatformFolders is how many platform folders the library has. The heartbeat
	// lists them. Default: 2.
	PlatformFolders int
	// PingInterval is how often RomM pings a socket. Default: 25 s.
	PingInterval time.Duration
	// Now is the clock. Default: time.Now.
	Now func() time.Time
}

// OIDC is the part of RomM's environment that starts with OIDC_.
type OIDC struct {
	// Enabled is OIDC_ENABLED.
	Enabled bool
	// Provider is OIDC_PROVIDER, the label on the sign-in button.
	Provider string
	// ClientID is OIDC_CLIENT_ID.
	ClientID string
	// ClientSecret is OIDC_CLIENT_SECRET. A client without one is public.
	ClientSecret string
	// RedirectURI is OIDC_REDIRECT_URI, which RomM sends unchanged.
	RedirectURI string
	// ServerURL is OIDC_SERVER_APPLICATION_URL: the issuer's address without
	// /.well-known/openid-configuration.
	ServerURL string
	// MetadataURL is OIDC_SERVER_METADATA_URL (RomM 4.8 and later).
	MetadataURL string
	// ClaimRoles is OIDC_CLAIM_ROLES, the claim that holds roles. RomM also sends
	// its name as a scope.
	ClaimRoles string
	// RoleAdmin, RoleEditor and RoleViewer are OIDC_ROLE_ADMIN, OIDC_ROLE_EDITOR
	// and OIDC_ROLE_VIEWER, one value each.
	RoleAdmin, RoleEditor, RoleViewer string
	// UsernameAttribute is OIDC_USERNAME_ATTRIBUTE. Default: "preferred_username".
	UsernameAttribute string
	// AllowRegistration is OIDC_ALLOW_REGISTRATION. Default: true.
	AllowRegistration *bool
	// Autologin is OIDC_AUTOLOGIN (RomM 4.7 and later).
	Autologin bool
	// RPInitiatedLogout is OIDC_RP_INITIATED_LOGOUT (RomM 4.8 and later).
	RPInitiatedLogout bool
	// HTTPClient sends RomM's requests to the provider. Its redirect policy is
	// ignored, because RomM follows no redirects. Its timeout defaults to 5 s.
	HTTPClient *http.Client
}

func (o Options) withDefaults() Options {
	if o.Version == "" {
		o.Version = "5.2.0"
	}
	o.SecretKey = strings.TrimSpace(o.SecretKey)
	if o.SessionMaxAge == 0 || !parseVersion(o.Version).atLeast(4, 0, 0) {
		o.SessionMaxAge = 14 * 24 * time.Hour
	}
	if o.ContentSize == 0 {
		o.ContentSize = 1 << 20
	}
	if o.ScanSteps == 0 {
		o.ScanSteps = 3
	}
	if o.PlatformFolders == 0 {
		o.PlatformFolders = 2
	}
	if o.PingInterval == 0 {
		o.PingInterval = 25 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	o.OIDC = o.OIDC.withDefaults()
	return o
}

func (o OIDC) withDefaults() OIDC {
	if o.UsernameAttribute == "" {
		o.UsernameAttribute = "preferred_username"
	}
	client := http.Client{}
	if o.HTTPClient != nil {
		client = *o.HTTPClient
	}
	if client.Timeout == 0 {
		client.Timeout = 5 * time.Second
	}
	client.Jar = nil
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	o.HTTPClient = &client
	return o
}

func (o OIDC) metadataURL(v version) string {
	if o.MetadataURL != "" && v.atLeast(4, 8, 0) {
		return o.MetadataURL
	}
	return strings.TrimRight(o.ServerURL, "/") + "/.well-known/openid-configuration"
}

func (o OIDC) mayRegister(v version) bool {
	return o.AllowRegistration == nil || *o.AllowRegistration || !v.atLeast(5, 0, 0)
}

func randomHex(bytes int) string {
	buffer := make([]byte, bytes)
	_, _ = rand.Read(buffer) // never fails (crypto/rand)
	return hex.EncodeToString(buffer)
}
