#!/usr/bin/env node
/**
 * What is started as `nslink` where the command is shipped.
 */

import { dirname } from "node:path";
import { CachedModules } from "./code_cache.ts";

const modules = new CachedModules(dirname(import.meta.filename));
process.on("exit", () => modules.keep());
modules.load("main.js");
