package repo

import (
	"time"

	"github.com/redis/rueidis"

	"github.com/seed14a526e0/relaystore/strategy"
)

// redisPrimary connects when a data type is first asked for there.
func redisPrimary(cfg Config) *strategy.Redis {
	if cfg.PrimaryRedisURL == "" {
		return nil
	}
	connect := func(tune func(*rueidis.ClientOption)) (rueidis.Client, error) {
		opt, err := rueidis.ParseURL(cfg.PrimaryRedisURL)
		if err != nil {
			return nil, err
		}
		opt.Dialer.Timeout, opt.ConnWriteTimeout = cfg.ConnectTimeout, cfg.OpTimeout
		opt.DisableCache, opt.DisableRetry, opt.ForceSingleClient = true, true, opt.Sentinel.MasterSet == ""
		if cfg.RedisOption != nil {
			cfg.RedisOption(&opt)
		}
		tune(&opt)
		return rueidis.NewClient(opt)
	}
	return &strategy.Redis{
		Retry: strategy.DefaultRetry, OpTimeout: cfg.OpTimeout, EncryptionKey: cfg.LegacyEncryptionKey,
		Zone:    time.FixedZone("", *cfg.LegacyZoneOffset*3600),
		Connect: func() (rueidis.Client, error) { return connect(func(*rueidis.ClientOption) {}) },
		Watch: func(prefixes []string, changed func([]rueidis.RedisMessage)) (rueidis.Client, error) {
			return connect(func(opt *rueidis.ClientOption) {
				opt.DisableCache, opt.AlwaysRESP2 = false, false
				opt.PipelineMultiplex, opt.BlockingPipeline = -1, -1
				opt.ClientTrackingOptions = []string{"BCAST"}
				for _, p := range prefixes {
					opt.ClientTrackingOptions = append(opt.ClientTrackingOptions, "PREFIX", p)
				}
				opt.OnInvalidations = changed
			})
		},
	}
}
