//! Which resource is served at which path.
//!
//! An exact path wins, then the longest `prefix/*`, then `*`. The query takes no part. Looked up
//! once for each client, so a lock is good enough.

use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::origin::Origin;
use crate::resource::Resource;
use clws_proto::connection::Config;
use clws_proto::deflate::DeflateConfig;
use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, Weak};

/// A resource with what is its own: who may connect, and what differs from the server.
pub(crate) struct Route {
    pub(crate) path: String,
    pub(crate) origin: Origin,
    pub(crate) resource: Arc<dyn Resource>,
    /// What it said of itself ([`Resource::reads_text`]).
    pub(crate) reads_text: bool,
    /// The same resource, to be found by its type.
    pub(crate) typed: Arc<dyn Any + Send + Sync>,
    pub(crate) own_limits: Option<(Arc<Limits>, Arc<Config>)>,
    pub(crate) own_deflate: Option<DeflateConfig>,
}

impl Route {
    pub(crate) fn new<R: Resource>(path: &str, origin: Origin, resource: R) -> Self {
        let resource = Arc::new(resource);
        Self {
            path: path.to_owned(),
            origin,
            reads_text: resource.reads_text(),
            resource: resource.clone(),
            typed: resource,
            own_limits: None,
            own_deflate: None,
        }
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Route").field("path", &self.path).finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct Table {
    exact: HashMap<String, Arc<Route>>,
    /// Patterns that end in `*`, the longest first: the first that fits is the one.
    prefixes: Vec<Arc<Route>>,
    /// What was unregistered, for as long as its clients stay.
    retired: Vec<Weak<Route>>,
}

#[derive(Debug, Default)]
pub(crate) struct Routes(RwLock<Table>);

impl Routes {
    pub(crate) fn register(&self, route: Route) -> Result<()> {
        check(&route.path)?;
        let mut guard = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let table = &mut *guard;
        let taken = table.prefixes.iter().any(|other| other.path == route.path)
            || table.exact.contains_key(&route.path);
        if taken {
            return Err(Error::PathTaken(route.path));
        }
        if route.path.ends_with('*') {
            table.prefixes.push(Arc::new(route));
            table.prefixes.sort_by_key(|route| std::cmp::Reverse(route.path.len()));
        } else {
            table.exact.insert(route.path.clone(), Arc::new(route));
        }
        Ok(())
    }

    /// Serves nothing at `path`, a pattern as it was registered, any more.
    pub(crate) fn unregister(&self, path: &str) -> Option<Arc<Route>> {
        let mut table = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let prefixed = table.prefixes.iter().position(|route| route.path == path);
        let route = match prefixed {
            Some(index) => table.prefixes.remove(index),
            None => table.exact.remove(path)?,
        };
        table.retired.retain(|one| one.strong_count() > 0);
        table.retired.push(Arc::downgrade(&route));
        Some(route)
    }

    /// Everything that is registered, or was and still has clients.
    pub(crate) fn all(&self) -> Vec<Arc<Route>> {
        let table = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let retired = table.retired.iter().filter_map(Weak::upgrade);
        table.exact.values().chain(&table.prefixes).cloned().chain(retired).collect()
    }

    /// The route registered under exactly this pattern.
    pub(crate) fn registered(&self, path: &str) -> Option<Arc<Route>> {
        let table = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let prefixed = || table.prefixes.iter().find(|route| route.path == path);
        table.exact.get(path).or_else(prefixed).map(Arc::clone)
    }

    pub(crate) fn find(&self, path: &str) -> Option<Arc<Route>> {
        let table = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let prefixed = || {
            table.prefixes.iter().find(|route| {
                route.path.strip_suffix('*').is_some_and(|prefix| path.starts_with(prefix))
            })
        };
        table.exact.get(path).or_else(prefixed).map(Arc::clone)
    }
}

fn check(path: &str) -> Result<()> {
    let fixed = path.strip_suffix('*').unwrap_or(path);
    let rooted = fixed.starts_with('/') || path == "*";
    let whole_segment = fixed == path || fixed.is_empty() || fixed.ends_with('/');
    let plain = !fixed.contains(['*', '?', '#']) && fixed.bytes().all(|b| b.is_ascii_graphic());
    if rooted && whole_segment && plain { Ok(()) } else { Err(Error::Path(path.to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nothing;
    impl Resource for Nothing {}

    fn routes(paths: &[&str]) -> Routes {
        let routes = Routes::default();
        for path in paths {
            routes.register(route(path)).unwrap();
        }
        routes
    }

    fn route(path: &str) -> Route {
        Route::new(path, Origin::any(), Nothing)
    }

    #[test]
    fn exact_then_longest_prefix_then_fallback() {
        let routes = routes(&["/a", "/a/*", "/a/b/*", "/a/b/c", "*"]);
        for (path, expected) in [
            ("/a", "/a"),
            ("/a/", "/a/*"),
            ("/a/x", "/a/*"),
            ("/a/b", "/a/*"),
            ("/a/b/c", "/a/b/c"),
            ("/a/b/c/d", "/a/b/*"),
            ("/a/b/*", "/a/b/*"),
            ("/b", "*"),
            ("/", "*"),
            ("", "*"),
        ] {
            assert_eq!(routes.find(path).unwrap().path, expected, "{path}");
        }
    }

    #[test]
    fn without_a_fallback_unknown_paths_are_not_found() {
        let routes = routes(&["/echo", "/x/*"]);
        for path in ["/", "/ech", "/echo/", "/x", "/ECHO", "//echo", "*", "/x*"] {
            assert!(routes.find(path).is_none(), "{path}");
        }
    }

    #[test]
    fn paths_that_could_never_match_are_refused() {
        for path in ["", "echo", "/a*", "/*/b", "/a?b", "/a b", "/\u{e9}", "**"] {
            assert!(Routes::default().register(route(path)).is_err(), "{path}");
        }
        assert!(matches!(routes(&["/a"]).register(route("/a")), Err(Error::PathTaken(_))));
    }
}
